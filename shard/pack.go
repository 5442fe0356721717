package shard

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sslctl/sslctl/internal/blob"
	"github.com/sslctl/sslctl/pkg/keyed"
)

// PackOptions say what to pack, and where to.
type PackOptions struct {
	// Source is a local IDX image file, gzipped or not, or a folder of images: in one sub-folder for each class, or without sub-folders and
	// then without classes.
	Source string
	// Labels is the IDX label file. Empty: Source's name with "labels" for "images" and "idx1" for "idx3".
	Labels string
	// Unlabelled packs all images of a folder and its sub-folders without classes.
	Unlabelled bool
	// Dest is the folder or the bucket and prefix that takes the shards NAME-000.tar, NAME-001.tar …
	Dest string
	// Name starts the shards' names, default "shard".
	Name string
	// Shards or SamplesPerShard cut the samples into shards of nearly equal count; give one of them. Default: 1,000 samples a shard.
	Shards, SamplesPerShard int
	// Seed is the seed of the shuffle before the cut. KeepOrder leaves the source's order, which makes windows of one class.
	Seed      uint64
	KeepOrder bool
	// Limit packs only the first samples of the source; 0: all.
	Limit int
	// Overwrite replaces shards of this name, and removes those that are not replaced.
	Overwrite bool
	Access    blob.Options
}

// Packed is what Pack has written.
type Packed struct {
	URI     string   `json:"uri"` // pattern for all shards, as a job file takes it
	Shards  []string `json:"shards"`
	Samples int      `json:"samples"`
	Bytes   int64    `json:"bytes"`
	Classes []string `json:"classes,omitempty"`
	Ignored []string `json:"ignored,omitempty"` // files of the source that are no images
}

// classesFile lies beside the shards and says which class has which number: {"classes": ["ant", "bee"]}.
const classesFile = "classes.json"

type classList struct {
	Classes []string `json:"classes"`
}

// Pack writes a data set as WebDataset shards: a member with the image, PNG for IDX, else the file as it is, and a member "cls" where
// there are classes. The same source and options give the same bytes. Each shard appears whole or not at all; after an error, what this call has added is
// removed. progress, if not nil, is called after each sample.
func Pack(ctx context.Context, o PackOptions, progress func(done, total int)) (Packed, error) {
	p, err := newPacker(ctx, o)
	if err != nil {
		return Packed{}, fmt.Errorf("pack %s: %w", o.Source, err)
	}
	if err := p.run(ctx, progress); err != nil {
		return Packed{}, fmt.Errorf("pack %s: %w", o.Source, errors.Join(err, p.undo(ctx)))
	}
	return p.packed, nil
}

type packer struct {
	o        PackOptions
	source   source
	bucket   blob.Bucket
	renumber []int // by source class; nil: as they are
	old      []string
	added    []string // keys that were not there before
	shards   int
	damaged  []*damagedError // files of the source; where there is one, no more shards are written
	packed   Packed
}

func newPacker(ctx context.Context, o PackOptions) (*packer, error) {
	o.Name = cmp.Or(o.Name, "shard")
	switch {
	case strings.ContainsAny(o.Name, "/{}*?[]"):
		return nil, fmt.Errorf("%w: the shards' name is %q; expected no slash, brace or wildcard", ErrPattern, o.Name)
	case o.Shards < 0 || o.SamplesPerShard < 0 || o.Limit < 0 || o.Shards > 0 && o.SamplesPerShard > 0:
		return nil, fmt.Errorf("%d shards, %d samples a shard and a limit of %d are asked for; expected one of the first two, nothing negative",
			o.Shards, o.SamplesPerShard, o.Limit)
	}
	info, err := statSource(o)
	if err == nil && o.Unlabelled && !info.IsDir() {
		err = fmt.Errorf("%w: %s is a file; only images of a folder go without classes", ErrFormat, o.Source)
	}
	if err != nil { // before the destination, which may be far
		return nil, err
	}
	b, err := blob.Open(ctx, o.Dest, o.Access)
	if err != nil {
		return nil, err
	}
	p := &packer{o: o, bucket: b}
	objects, err := b.List(ctx, o.Name+"-") // first, since it finds a wrong destination before the long work
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if isShard(object.Key, o.Name) {
			p.old = append(p.old, object.Key)
		}
	}
	if len(p.old) > 0 && !o.Overwrite {
		more := ""
		if n := len(p.old) - 1; n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		return nil, fmt.Errorf("%w: %s%s; choose another name or destination, or --overwrite", ErrExists, blob.Join(b.URI(), p.old[0]), more)
	}
	if p.source, err = openSource(o); err != nil {
		return nil, err
	}
	n := p.source.len()
	if n == 0 {
		return nil, ErrNoSamples
	}
	p.shards = o.Shards
	if p.shards == 0 {
		per := cmp.Or(o.SamplesPerShard, 1000)
		p.shards = (n + per - 1) / per
	}
	if p.shards > n {
		return nil, fmt.Errorf("%d shards are asked for, but there are only %d samples", p.shards, n)
	}
	return p, p.classes(ctx)
}

// isShard says whether a key is NAME-digits.tar.
func isShard(key, name string) bool {
	digits, ok := strings.CutSuffix(strings.TrimPrefix(key, name+"-"), ".tar")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// classes numbers the classes. A classes.json that is there already decides, so that training and test shards agree.
func (p *packer) classes(ctx context.Context) error {
	names := p.source.classes()
	if names == nil {
		return nil
	}
	p.packed.Classes = names
	there, err := readClasses(ctx, p.bucket)
	switch {
	case errors.Is(err, blob.ErrNotExist):
		return nil
	case p.o.Overwrite && (err == nil || errors.Is(err, ErrFormat)):
		return nil
	case err != nil:
		return err
	}
	for _, name := range names {
		i := slices.Index(there, name)
		if i < 0 {
			return fmt.Errorf("%w: %s numbers other classes, %q is not among them; choose another destination or --overwrite",
				ErrExists, blob.Join(p.bucket.URI(), classesFile), name)
		}
		p.renumber = append(p.renumber, i)
	}
	p.packed.Classes = there
	return nil
}

func readClasses(ctx context.Context, b blob.Bucket) ([]string, error) {
	r, err := b.Get(ctx, classesFile, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	var list classList
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, blob.Join(b.URI(), classesFile), err)
	}
	return list.Classes, nil
}

func (p *packer) run(ctx context.Context, progress func(done, total int)) (err error) {
	// Shards are built in a file: S3 wants to know the size first, and a file can be sent again.
	temp, err := os.CreateTemp("", "sslctl-pack-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, temp.Close(), os.Remove(temp.Name())) }()
	n := p.source.len()
	key := keyed.New(p.o.Seed).For("shard.pack")
	width := max(3, len(strconv.Itoa(p.shards-1)))
	for s := range p.shards {
		name := fmt.Sprintf("%s-%0*d.tar", p.o.Name, width, s)
		if err := temp.Truncate(0); err != nil {
			return err
		}
		if _, err := temp.Seek(0, io.SeekStart); err != nil {
			return err
		}
		t := tar.NewWriter(temp)
		for i := s * n / p.shards; i < (s+1)*n/p.shards; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			from := i
			if !p.o.KeepOrder {
				from = int(key.Permute(uint64(i), uint64(n)))
			}
			err := p.write(t, from)
			if damaged := new(damagedError); errors.As(err, &damaged) {
				p.damaged = append(p.damaged, damaged)
			} else if err != nil {
				return err
			}
			if progress != nil {
				progress(i+1, n)
			}
		}
		if err := t.Close(); err != nil {
			return err
		}
		if len(p.damaged) > 0 {
			continue
		}
		size, err := temp.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if _, err := temp.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := p.put(ctx, name, temp, size); err != nil {
			return err
		}
		p.packed.Shards = append(p.packed.Shards, blob.Join(p.bucket.URI(), name))
		p.packed.Bytes += size
	}
	if len(p.damaged) > 0 {
		return damagedList(p.damaged)
	}
	p.packed.Samples, p.packed.Ignored = n, p.source.ignored()
	p.packed.URI = p.packed.Shards[0]
	if p.shards > 1 {
		p.packed.URI = blob.Join(p.bucket.URI(), fmt.Sprintf("%s-{%0*d..%0*d}.tar", p.o.Name, width, 0, width, p.shards-1))
	}
	return p.finish(ctx)
}

// write adds one sample to a tar. Nothing in it depends on the time or the machine.
func (p *packer) write(t *tar.Writer, i int) error {
	key, members, err := p.source.sample(i)
	if err != nil {
		return err
	}
	if class := p.source.class(i); class != unlabelled {
		if p.renumber != nil {
			class = p.renumber[class]
		}
		members = append(members, fileMember{"cls", strconv.AppendInt(nil, int64(class), 10)})
	}
	for _, m := range members {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: key + "." + m.name, Size: int64(len(m.data)), Mode: 0o644}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(m.data); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) put(ctx context.Context, key string, r io.Reader, size int64) error {
	if !slices.Contains(p.old, key) {
		p.added = append(p.added, key)
	}
	return p.bucket.Put(ctx, key, r, size)
}

// finish writes classes.json and removes the shards of an earlier packing that this one did not replace.
func (p *packer) finish(ctx context.Context) error {
	if p.packed.Classes != nil && p.renumber == nil {
		data, err := json.MarshalIndent(classList{p.packed.Classes}, "", "  ")
		if err != nil {
			return err
		}
		data = append(data, '\n')
		if err := p.bucket.Put(ctx, classesFile, bytes.NewReader(data), int64(len(data))); err != nil {
			return err
		}
	}
	for _, key := range p.old {
		if !slices.Contains(p.packed.Shards, blob.Join(p.bucket.URI(), key)) {
			if err := p.bucket.Delete(ctx, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// undo removes the shards that were added before an error. It works on even when ctx has ended, for a bounded time.
func (p *packer) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var errs []error
	for _, key := range p.added {
		errs = append(errs, p.bucket.Delete(ctx, key))
	}
	return errors.Join(errs...)
}
