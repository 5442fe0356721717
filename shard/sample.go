package shard

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// Sample is one sample as it lies in its shard: nothing is decoded.
type Sample struct {
	ID      uint64 // global index in the data set
	Key     string
	Members map[string][]byte // by member name: "png", "cls"; the slices may share memory
}

// parseSample takes a sample's members out of the bytes of its range. The members point into raw.
func parseSample(id uint64, key string, raw []byte) (Sample, error) {
	s := Sample{ID: id, Key: key, Members: map[string][]byte{}}
	r := bytes.NewReader(raw)
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			return Sample{}, fmt.Errorf("%w: sample %q: %w", ErrFormat, key, err)
		}
		k, member, ok := splitName(h.Name)
		if h.Typeflag != tar.TypeReg || !ok || k != key {
			continue
		}
		begin := int64(len(raw)) - int64(r.Len())
		if h.Size > int64(r.Len()) {
			return Sample{}, fmt.Errorf("%w: sample %q: member %q has %d bytes of %d", ErrFormat, key, member, r.Len(), h.Size)
		}
		s.Members[member] = raw[begin : begin+h.Size : begin+h.Size]
	}
}

// Label is a sample's class: the member "cls", an integer in ASCII, else the field "label" of the member "json".
func Label(s Sample) (int, error) {
	if text, ok := s.Members["cls"]; ok {
		n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 31)
		if err != nil {
			return 0, fmt.Errorf("%w: sample %q: its member cls is %.20q; expected an integer from 0 on", ErrNoLabel, s.Key, text)
		}
		return int(n), nil
	}
	text, ok := s.Members["json"]
	if !ok {
		return 0, fmt.Errorf("%w: sample %q has neither a member cls nor json", ErrNoLabel, s.Key)
	}
	var v struct {
		Label *uint32 `json:"label"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return 0, fmt.Errorf("%w: sample %q: its member json: %w", ErrNoLabel, s.Key, err)
	}
	if v.Label == nil || *v.Label > 1<<31-1 {
		return 0, fmt.Errorf(`%w: sample %q: its member json is %.60q; expected {"label": 3}`, ErrNoLabel, s.Key, text)
	}
	return int(*v.Label), nil
}
