package shard

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// source is what Pack packs: numbered samples.
type source interface {
	len() int
	// sample returns a sample's key and members. Label members are left to Pack.
	sample(i int) (key string, members []fileMember, err error)
	// class is a sample's class number before renumbering, see classes; unlabelled for none.
	class(i int) int
	// classes are the names of the classes, or nil where classes have only numbers.
	classes() []string
	ignored() []string
}

// unlabelled is the class of a sample that has none.
const unlabelled = -1

type fileMember struct {
	name string
	data []byte
}

// statSource finds a wrong source before anything is done.
func statSource(o PackOptions) (os.FileInfo, error) {
	info, err := os.Stat(strings.TrimPrefix(o.Source, "file://"))
	if err != nil {
		return nil, fmt.Errorf("open the source: %w; name an IDX image file or a folder of images", err)
	}
	return info, nil
}

// openSource decides what a source is: a file is IDX, a folder holds images, in sub-folders that are classes or without classes.
func openSource(o PackOptions) (source, error) {
	path := strings.TrimPrefix(o.Source, "file://")
	info, err := statSource(o)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return openIDX(path, strings.TrimPrefix(o.Labels, "file://"), o.Limit)
	}
	return openFolder(path, o.Unlabelled, o.Limit)
}

// idxSource is a pair of IDX files: images (N, H, W) or (N, H, W, 3), and N labels.
type idxSource struct {
	images, labels IDX
	encoder        png.Encoder
}

func openIDX(images, labels string, limit int) (*idxSource, error) {
	if labels == "" {
		dir, name := filepath.Split(images)
		labels = dir + strings.NewReplacer("images", "labels", "idx3", "idx1", "idx4", "idx1").Replace(name)
		if labels == images {
			return nil, fmt.Errorf("%w: %s: no \"images\" in its name to find the labels by; name the label file too", ErrFormat, images)
		}
	}
	s := &idxSource{encoder: png.Encoder{BufferPool: &onePNG{}}}
	var err error
	if s.images, err = readIDX(images, "IDX images", limit, 3, 4); err != nil {
		return nil, err
	}
	if s.labels, err = readIDX(labels, "IDX labels", limit, 1); err != nil {
		return nil, err
	}
	d := s.images.Dims
	switch {
	case d[0] != s.labels.Dims[0]:
		return nil, fmt.Errorf("%w: %s has %d images, %s %d labels", ErrFormat, images, d[0], labels, s.labels.Dims[0])
	case slices.Contains(d[1:], 0), len(d) == 4 && d[3] != 1 && d[3] != 3:
		return nil, fmt.Errorf("%w: %s has images of %v; expected (H, W), (H, W, 1) or (H, W, 3)", ErrFormat, images, d[1:])
	}
	return s, nil
}

func (s *idxSource) len() int          { return s.images.Dims[0] }
func (s *idxSource) class(i int) int   { return int(s.labels.Data[i]) }
func (s *idxSource) classes() []string { return nil }
func (s *idxSource) ignored() []string { return nil }

func (s *idxSource) sample(i int) (string, []fileMember, error) {
	h, w, pixels := s.images.Dims[1], s.images.Dims[2], s.images.Item(i)
	var img image.Image
	if len(pixels) == h*w {
		img = &image.Gray{Pix: pixels, Stride: w, Rect: image.Rect(0, 0, w, h)}
	} else {
		rgba := image.NewNRGBA(image.Rect(0, 0, w, h))
		for p := range h * w {
			copy(rgba.Pix[4*p:], pixels[3*p:3*p+3])
			rgba.Pix[4*p+3] = 255
		}
		img = rgba
	}
	var b bytes.Buffer
	if err := s.encoder.Encode(&b, img); err != nil {
		return "", nil, fmt.Errorf("encode image %d: %w", i, err)
	}
	return fmt.Sprintf("%08d", i), []fileMember{{"png", b.Bytes()}}, nil
}

// onePNG keeps the encoder's buffers from one image to the next: making them takes longer than a small image.
type onePNG struct{ b *png.EncoderBuffer }

func (o *onePNG) Get() *png.EncoderBuffer  { return o.b }
func (o *onePNG) Put(b *png.EncoderBuffer) { o.b = b }

// folderSource is a folder of images, with a sub-folder for each class or without classes; images keep their encoded bytes.
type folderSource struct {
	names []string // of the classes; nil: there are none
	files []folderFile
	left  []string
}

type folderFile struct {
	path, key, member string
	class             int
}

// damagedError is about one file of a source that no job could read.
type damagedError struct {
	path string
	why  error
}

func (e *damagedError) Error() string { return fmt.Sprintf("%s: %v", e.path, e.why) }
func (e *damagedError) Unwrap() error { return ErrFormat }

// damagedList is one error about all of them.
func damagedList(list []*damagedError) error {
	const most = 10
	var text []string
	for _, e := range list[:min(len(list), most)] {
		text = append(text, e.Error())
	}
	if more := len(list) - most; more > 0 {
		text = append(text, fmt.Sprintf("and %d more", more))
	}
	what := "an image that no job can read"
	if len(list) > 1 {
		what = fmt.Sprintf("%d images that no job can read", len(list))
	}
	return fmt.Errorf("%w: %s: %s; mend or remove what is named", ErrFormat, what, strings.Join(text, "; "))
}

// imageEndings are the files that become samples, and their members' names.
var imageEndings = map[string]string{".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".npy": "npy"}

// openFolder takes sub-folders for classes, unless all images are to go without or all lie in the folder itself.
func openFolder(root string, withoutClasses bool, limit int) (*folderSource, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("open the source: %w", err)
	}
	s := &folderSource{}
	if withoutClasses {
		err = s.walk(root, ".", unlabelled)
	} else {
		err = s.open(root, entries)
	}
	if err != nil {
		return nil, fmt.Errorf("open the source: %w", err)
	}
	if len(s.files) == 0 {
		return nil, fmt.Errorf("%w: %s and its sub-folders hold no .png, .jpg, .jpeg or .npy files (for IDX, name the image file itself)", ErrNoSamples, root)
	}
	if limit > 0 {
		s.files = s.files[:min(limit, len(s.files))]
	}
	return s, nil
}

// open sorts a folder's entries into classes, images without a class, and what is neither.
func (s *folderSource) open(root string, entries []fs.DirEntry) error {
	var folders, images []string
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(root, e.Name()))
		switch hidden := strings.HasPrefix(e.Name(), "."); {
		case err == nil && info.IsDir() && !hidden:
			folders = append(folders, e.Name())
		case imageEndings[strings.ToLower(filepath.Ext(e.Name()))] != "" && !hidden:
			images = append(images, e.Name())
		default:
			s.left = append(s.left, e.Name())
		}
	}
	if len(folders) > 0 && len(images) > 0 {
		return fmt.Errorf("%w: %s holds images (%s) beside sub-folders (%s); expected all images in sub-folders, one for each class, or ask for no classes with --unlabelled",
			ErrFormat, root, images[0], folders[0])
	}
	if len(folders) == 0 {
		s.left = nil // the walk finds them again
		return s.walk(root, ".", unlabelled)
	}
	s.names = folders
	for class, name := range folders {
		if err := s.walk(root, name, class); err != nil {
			return err
		}
	}
	return nil
}

func (s *folderSource) walk(root, name string, class int) error {
	used := map[string]int{}
	start := filepath.Join(root, name) + string(filepath.Separator) // the slash lets a class be a link to a folder
	return filepath.WalkDir(start, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != start && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case e.IsDir():
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		member, ok := imageEndings[strings.ToLower(filepath.Ext(path))]
		if !ok || strings.HasPrefix(e.Name(), ".") {
			s.left = append(s.left, rel)
			return nil
		}
		// A key ends at the first dot of its last element, so that other dots must go; what then collides is numbered.
		dir, base := filepath.Split(strings.TrimSuffix(rel, filepath.Ext(rel)))
		key := dir + strings.ReplaceAll(base, ".", "-")
		if used[key]++; used[key] > 1 {
			key += "~" + strconv.Itoa(used[key])
		}
		s.files = append(s.files, folderFile{path, key, member, class})
		return nil
	})
}

func (s *folderSource) len() int          { return len(s.files) }
func (s *folderSource) class(i int) int   { return s.files[i].class }
func (s *folderSource) classes() []string { return s.names }
func (s *folderSource) ignored() []string { return s.left }

func (s *folderSource) sample(i int) (string, []fileMember, error) {
	f := s.files[i]
	data, err := os.ReadFile(f.path)
	if err != nil {
		return "", nil, err
	}
	if _, ok := imageFormats[f.member]; ok {
		if _, err := readImage(f.member, data, false); err != nil {
			return "", nil, &damagedError{f.path, err}
		}
	}
	return f.key, []fileMember{{f.member, data}}, nil
}
