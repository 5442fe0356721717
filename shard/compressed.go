package shard

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

// packing is a format in which a shard can't be read by ranges.
type packing struct {
	name    string
	magic   string   // how its files begin
	endings []string // of its files' names
	unpack  string   // the command that writes the plain file to standard output; empty for an archive of another kind
}

var packings = []packing{
	{"gzip", "\x1f\x8b", []string{".tar.gz", ".tgz"}, "gzip -dc"},
	{"zstd", "\x28\xb5\x2f\xfd", []string{".tar.zst", ".tzst"}, "zstd -dc"},
	{"bzip2", "BZh", []string{".tar.bz2", ".tbz2"}, "bzip2 -dc"},
	{"xz", "\xfd7zXZ\x00", []string{".tar.xz", ".txz"}, "xz -dc"},
	{"lz4", "\x04\x22\x4d\x18", []string{".tar.lz4"}, "lz4 -dc"},
	{"zip", "PK\x03\x04", []string{".zip"}, ""},
}

// packed is the format that a file begins as; nil if it is none of them.
func packed(start []byte) *packing {
	for i, p := range packings {
		if bytes.HasPrefix(start, []byte(p.magic)) {
			return &packings[i]
		}
	}
	return nil
}

// packedName is the format that a name's ending promises; nil if it is none of them.
func packedName(object string) *packing {
	for i, p := range packings {
		for _, ending := range p.endings {
			if strings.HasSuffix(strings.ToLower(object), ending) {
				return &packings[i]
			}
		}
	}
	return nil
}

// refuse says what to do with such an object.
func (p *packing) refuse(object string) error {
	if p.unpack == "" {
		return fmt.Errorf("%w: %s is %s; unpack it and make a tar of its files, or pack them with `sslctl dataset pack`", ErrCompressed, object, p.name)
	}
	file := path.Base(object)
	plain := strings.TrimSuffix(file, ".tar") + "-plain.tar" // the name does not tell that it is compressed
	for _, ending := range p.endings {
		if strings.HasSuffix(strings.ToLower(file), ending) {
			plain = file[:len(file)-len(ending)] + ".tar"
		}
	}
	return fmt.Errorf("%w: %s is %s; decompress it (%s %s > %s) and name the plain tar: images are compressed already",
		ErrCompressed, object, p.name, p.unpack, quoted(file), quoted(plain))
}

// quoted is a file name as a shell takes it.
func quoted(name string) string {
	if strings.ContainsAny(name, " \t\"'$`\\&;()<>|*?[]{}#~!") {
		return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return name
}
