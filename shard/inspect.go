package shard

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"slices"
	"strings"

	"github.com/sslctl/sslctl/internal/blob"
)

// Summary is what Inspect finds in a data set.
type Summary struct {
	URI           string            `json:"uri"`
	Shards        int               `json:"shards"`
	Samples       uint64            `json:"samples"`
	Bytes         int64             `json:"bytes"`        // of all shards
	ShardSamples  [2]uint64         `json:"shardSamples"` // fewest and most in a shard
	Members       map[string]uint64 `json:"members"`      // samples by their members' names, as "png+cls"
	Labels        map[int]uint64    `json:"labels"`       // samples by label
	Unlabelled    uint64            `json:"unlabelled"`   // samples without a readable label
	Images        map[string]uint64 `json:"images"`       // by size and colours, as "28×28 grey"
	First         *FirstSample      `json:"first,omitempty"`
	ShuffleWindow uint64            `json:"shuffleWindow"` // samples that an epoch shuffles among each other
	Problems      []string          `json:"problems,omitempty"`
}

// FirstSample shows what samples look like.
type FirstSample struct {
	Key     string         `json:"key"`
	Members []MemberDetail `json:"members"`
}

// MemberDetail is one member of FirstSample.
type MemberDetail struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Image string `json:"image,omitempty"` // size and colours
}

// InspectOptions say how to look.
type InspectOptions struct {
	Access   blob.Options
	Decode   bool                  // decode every image whole, and not look at its header and its end alone
	Progress func(done, total int) // shards
}

const missingShard = "missing shard" // a kind of problem

// ImageMembers are the names of the members that jobs read images from. A test of package worker compares them with what is decoded.
func ImageMembers() []string { return []string{"png", "jpg", "jpeg", "npy"} }

func isImage(member string) bool { return slices.Contains(ImageMembers(), member) }

// maxProblems of one kind are listed; the rest is counted.
const maxProblems = 10

// maxMember bounds what Inspect holds in memory of one member.
const maxMember = 256 << 20

// Inspect reads a whole data set once and describes it. Damaged shards and samples are told as problems; a data set that can't be reached,
// or of which no shard is there, is an error.
func Inspect(ctx context.Context, uri string, o InspectOptions) (Summary, error) {
	places, err := locate(ctx, uri, o.Access)
	if err != nil {
		return Summary{}, fmt.Errorf("inspect data set: %w", err)
	}
	in := &inspection{
		options: o, keys: map[string]bool{}, counts: map[string]int{},
		s: Summary{URI: uri, Shards: len(places), Members: map[string]uint64{}, Labels: map[int]uint64{}, Images: map[string]uint64{}},
	}
	var shape Shape
	for i, l := range places {
		x, err := in.shard(ctx, l)
		if err != nil {
			return Summary{}, fmt.Errorf("inspect data set: %w", err)
		}
		n := uint64(len(x.Samples))
		in.s.ShardSamples[1] = max(in.s.ShardSamples[1], n)
		if i == 0 {
			in.s.ShardSamples[0] = n
		}
		in.s.ShardSamples[0] = min(in.s.ShardSamples[0], n)
		shape.Shards = append(shape.Shards, n)
		shape.Bytes += x.SampleBytes()
		if o.Progress != nil {
			o.Progress(i+1, len(places))
		}
	}
	if in.counts[missingShard] == len(places) {
		return Summary{}, fmt.Errorf("inspect data set: %w", in.missing)
	}
	if in.s.Samples == 0 {
		in.problem("empty", "the data set has no samples")
	}
	in.s.ShuffleWindow = shape.Window()
	in.rest()
	return in.s, nil
}

type inspection struct {
	options InspectOptions
	s       Summary
	keys    map[string]bool
	counts  map[string]int // problems by kind
	kinds   []string       // in the order of their first occurrence
	missing error          // of the last missing shard
	label   Sample         // the open sample's label members
}

func (in *inspection) problem(kind, format string, a ...any) {
	if in.counts[kind]++; in.counts[kind] == 1 {
		in.kinds = append(in.kinds, kind)
	}
	if in.counts[kind] <= maxProblems {
		in.s.Problems = append(in.s.Problems, fmt.Sprintf(format, a...))
	}
}

// rest says how many problems were left out.
func (in *inspection) rest() {
	for _, kind := range in.kinds {
		if more := in.counts[kind] - maxProblems; more > 0 {
			in.s.Problems = append(in.s.Problems, fmt.Sprintf("%d more: %s", more, kind))
		}
	}
}

// shard reads one shard. The labels and images before a damaged place are counted, its samples are not: none of them can be trained on.
func (in *inspection) shard(ctx context.Context, l location) (*Index, error) {
	if p := packedName(l.key); p != nil {
		in.problem("compressed", "%v", p.refuse(l.object))
		return &Index{}, nil
	}
	o, err := l.stat(ctx)
	if errors.Is(err, blob.ErrNotExist) {
		in.problem(missingShard, "%v", err)
		in.missing = err
		return &Index{}, nil
	}
	if err != nil {
		return nil, err
	}
	in.s.Bytes += o.Size
	x, err := makeIndex(ctx, l, o, visitor{
		member: func(key, member string, size int64, data io.Reader) error {
			return in.member(l, key, member, size, data)
		},
		skip: func(name, why string) {
			in.problem("file that belongs to no sample", "%s: %q belongs to no sample: %s", l.object, name, why)
		},
	})
	in.endSample(l)
	switch {
	case errors.Is(err, ErrTruncated), errors.Is(err, ErrFormat), errors.Is(err, ErrCompressed), errors.Is(err, ErrChanged):
		in.problem("damaged shard", "%v", err)
		return &Index{}, nil
	case err != nil:
		return nil, err
	}
	for _, e := range x.Samples {
		if in.keys[e.Key] {
			in.problem("key that occurs twice", "%s: the key %q occurs twice in the data set", l.object, e.Key)
		}
		in.keys[e.Key] = true
		if !slices.ContainsFunc(x.Members(e), isImage) {
			in.problem("sample without an image", "%s: the sample %q has the members %s; expected one of %s", l.object, e.Key, strings.Join(x.Members(e), ", "), strings.Join(ImageMembers(), ", "))
		}
		in.s.Members[strings.Join(x.Members(e), "+")]++
	}
	in.s.Samples += uint64(len(x.Samples))
	return x, nil
}

// member looks at one member's contents.
func (in *inspection) member(l location, key, member string, size int64, data io.Reader) error {
	if in.label.Members == nil || in.label.Key != key {
		in.endSample(l)
		in.label = Sample{Key: key, Members: map[string][]byte{}}
		if in.s.First == nil {
			in.s.First = &FirstSample{Key: key}
		}
	}
	detail := MemberDetail{Name: member, Bytes: size}
	if size > maxMember {
		in.problem("large member", "%s: %s.%s has %d bytes; it was not looked into", l.object, key, member, size)
	} else if slices.Contains([]string{"cls", "json", "png", "jpg", "jpeg"}, member) {
		contents, err := io.ReadAll(data)
		if err != nil {
			return err
		}
		if member == "cls" || member == "json" {
			in.label.Members[member] = contents
		} else if detail.Image, err = in.image(member, contents); err != nil {
			in.problem("image that can't be decoded", "%s: %s.%s can't be decoded: %v", l.object, key, member, err)
		} else {
			in.s.Images[detail.Image]++
		}
	}
	if in.s.First.Key == key && in.s.Samples == 0 && len(in.s.First.Members) < 100 {
		in.s.First.Members = append(in.s.First.Members, detail)
	}
	return nil
}

// endSample counts the open sample's label.
func (in *inspection) endSample(l location) {
	if in.label.Members == nil {
		return
	}
	n, err := Label(in.label)
	switch {
	case err == nil:
		in.s.Labels[n]++
	case len(in.label.Members) > 0:
		in.problem("label that can't be read", "%s: %v", l.object, err)
		fallthrough
	default:
		in.s.Unlabelled++
	}
	in.label = Sample{}
}

// image describes an encoded image.
func (in *inspection) image(member string, data []byte) (string, error) {
	c, err := readImage(member, data, in.options.Decode)
	if err != nil {
		return "", err
	}
	colours := "colour"
	if c.ColorModel == color.GrayModel || c.ColorModel == color.Gray16Model {
		colours = "grey"
	}
	return fmt.Sprintf("%d×%d %s", c.Width, c.Height, colours), nil
}
