package shard

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"slices"
	"strings"
)

const block = 512 // tar's unit: headers and data start at multiples of it

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// splitName cuts a member's file name into its sample's key and the member's name.
func splitName(name string) (key, member string, ok bool) {
	for strings.HasPrefix(name, "./") {
		name = name[2:]
	}
	dir, base := path.Split(name)
	dot := strings.IndexByte(base, '.')
	if dot <= 0 || dot == len(base)-1 {
		return "", "", false
	}
	return dir + base[:dot], strings.ToLower(base[dot+1:]), true
}

// visitor is told what an indexing pass sees. Either function may be nil.
type visitor struct {
	member func(key, member string, size int64, data io.Reader) error
	skip   func(name, why string)
}

// indexTar reads one tar from beginning to end. object names it in errors. It fills in Kinds, Samples and Skipped.
func indexTar(r io.Reader, object string, v visitor) (*Index, error) {
	buffered := bufio.NewReaderSize(r, 256<<10)
	start, _ := buffered.Peek(24) // a read error comes again below
	if p := packed(start); p != nil {
		return nil, p.refuse(object)
	}
	m := &meter{r: buffered, start: string(start)}
	b := builder{index: &Index{}, kinds: map[string]uint32{}, begins: map[string]int64{}}
	t := tar.NewReader(m)
	for {
		m.setMark()
		h, err := t.Next()
		if err == io.EOF {
			if m.pos < m.mark+block || m.written { // package tar also ends quietly behind a member or half of a long name
				return nil, fmt.Errorf("%w: %s ends at byte %d without an end-of-archive mark; copy or pack it again", ErrTruncated, object, m.pos)
			}
			b.finish()
			return b.index, checkRest(m, object)
		}
		if err != nil {
			return nil, tarError(object, m, err)
		}
		key, member, ok := splitName(h.Name)
		switch {
		case h.Typeflag == tar.TypeGNUSparse || isSparse(h):
			return nil, fmt.Errorf("%w: %s: %q at byte %d is a sparse file; pack it without --sparse", ErrFormat, object, h.Name, m.mark)
		case isLink(h) && ok:
			return nil, fmt.Errorf("%w: %s: %q at byte %d is a link to %q, so that its sample would lack it; pack it with tar --dereference --hard-dereference", ErrFormat, object, h.Name, m.mark, h.Linkname)
		case h.Typeflag != tar.TypeReg:
			if !slices.Contains(structure, h.Typeflag) && v.skip != nil {
				v.skip(h.Name, "it is a link or a special file")
			}
		case !ok:
			b.index.Skipped++
			if v.skip != nil {
				v.skip(h.Name, "its name has no part before or after the first dot")
			}
		default:
			if err := b.add(m, object, key, member); err != nil {
				return nil, err
			}
		}
		isMember := h.Typeflag == tar.TypeReg && ok
		if isMember && v.member != nil {
			if err := v.member(key, member, h.Size, t); err != nil {
				return nil, tarError(object, m, err)
			}
		}
		if _, err := io.Copy(io.Discard, t); err != nil {
			return nil, tarError(object, m, err)
		}
		if isMember {
			b.end(m)
		}
	}
}

// structure are the entries that no sample misses: folders, headers for all that follows, and the label of a GNU volume.
var structure = []byte{tar.TypeDir, tar.TypeXGlobalHeader, 'V'}

// checkRest reads what follows the end-of-archive mark, which may be filled up with zeros and nothing else: the samples of a second
// archive would be lost in silence.
func checkRest(m *meter, object string) error {
	end := m.pos
	if _, err := io.Copy(io.Discard, m); err != nil {
		return tarError(object, m, err)
	}
	if m.written {
		return fmt.Errorf("%w: %s goes on behind its end-of-archive mark at byte %d: is it several archives in one file? Join them with tar --concatenate, or name them one by one", ErrFormat, object, end)
	}
	return nil
}

func isLink(h *tar.Header) bool { return h.Typeflag == tar.TypeLink || h.Typeflag == tar.TypeSymlink }

// tarError tells a tar that ends too early from one that is none, and both from a failing transfer.
func tarError(object string, m *meter, err error) error {
	begins := ""
	if m.pos <= block { // not even the first header is one
		begins = fmt.Sprintf(" (it begins with %q)", m.start)
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %s ends at byte %d inside a member%s; copy or pack it again", ErrTruncated, object, m.pos, begins)
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return fmt.Errorf("%w: %s has no tar header before byte %d%s: %w; shards are plain tar files", ErrFormat, object, m.pos, begins, err)
	}
	return fmt.Errorf("index %s at byte %d: %w", object, m.pos, err)
}

// isSparse finds the PAX forms of sparse files, whose bytes are not what a range of the tar holds.
func isSparse(h *tar.Header) bool {
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// builder collects members into samples.
type builder struct {
	index   *Index
	kinds   map[string]uint32
	begins  map[string]int64 // where each sample's first header is, by key
	open    bool
	sample  Entry
	members []string
}

// add starts a member whose header begins at the meter's mark.
func (b *builder) add(m *meter, object, key, member string) error {
	if b.open && b.sample.Key == key {
		if slices.Contains(b.members, member) {
			return fmt.Errorf("%w: %s: the sample %q has two members %q, the second one before byte %d", ErrFormat, object, key, member, m.pos)
		}
	} else {
		b.finish()
		if first, ok := b.begins[key]; ok {
			return fmt.Errorf("%w: %s: the sample %q begins twice, at bytes %d and %d: a sample's members lie side by side, and a shard has each key once; pack it with tar --sort=name",
				ErrFormat, object, key, first, m.mark)
		}
		b.begins[key] = m.mark
		m.restart()
		b.open, b.sample, b.members = true, Entry{Key: key, Offset: m.mark}, b.members[:0]
	}
	b.members = append(b.members, member)
	return nil
}

// end notes that the sample reaches at least to the end of the member just read. The padding behind it is still to come.
func (b *builder) end(m *meter) {
	b.sample.Size = m.pos + (block-m.pos%block)%block - b.sample.Offset
	m.sealing = true
	b.sample.CRC = 0
	m.seal = &b.sample.CRC
}

func (b *builder) finish() {
	if !b.open {
		return
	}
	b.open = false
	kind := strings.Join(b.members, "\x00")
	n, ok := b.kinds[kind]
	if !ok {
		n = uint32(len(b.index.Kinds))
		b.kinds[kind] = n
		b.index.Kinds = append(b.index.Kinds, slices.Clone(b.members))
	}
	b.sample.Kind = n
	b.index.Samples = append(b.index.Samples, b.sample)
}

// meter counts what a tar reader reads and keeps two checksums: that of the open sample, and that of what follows the mark. Whether the
// header behind the mark goes on with the sample is known only after it was read.
type meter struct {
	r       io.Reader
	start   string // the first bytes, for errors
	pos     int64
	mark    int64   // where the next header begins
	sample  uint32  // from the open sample's begin on
	next    uint32  // from the mark on
	written bool    // a byte behind the mark is not zero
	seal    *uint32 // takes the sample's checksum at the mark
	sealing bool
}

// setMark moves the mark to the next multiple of a block.
func (m *meter) setMark() {
	m.mark = m.pos + (block-m.pos%block)%block
	m.next, m.written = 0, false
	m.reached()
}

// reached stores the checksum of a sample that ends at the mark.
func (m *meter) reached() {
	if m.pos == m.mark && m.sealing {
		*m.seal = m.sample
		m.sealing = false
	}
}

// restart lets the open sample begin at the mark.
func (m *meter) restart() { m.sample = m.next }

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	read := p[:n]
	if m.pos < m.mark {
		k := min(int64(n), m.mark-m.pos)
		m.sample = crc32.Update(m.sample, castagnoli, read[:k])
		m.pos += k
		read = read[k:]
		m.reached()
	}
	m.sample = crc32.Update(m.sample, castagnoli, read)
	m.next = crc32.Update(m.next, castagnoli, read)
	m.written = m.written || len(bytes.TrimLeft(read, "\x00")) > 0
	m.pos += int64(len(read))
	return n, err
}
