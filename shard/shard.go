// Package shard reads and writes data sets of WebDataset tar shards: URL patterns to objects, objects to an index, the index to a keyed
// order of samples, the order to the samples themselves, fetched ahead by ranged reads.
//
// A shard is a plain tar file. A sample is a run of consecutive members whose names are equal up to the first dot of the last path
// element; what follows that dot, in lower case, names the member: cat/0042.png and cat/0042.cls are the members "png" and "cls" of the
// sample "cat/0042". (The WebDataset convention, https://github.com/webdataset/webdataset.)
package shard

import "errors"

var (
	// ErrPattern is returned for a URL pattern that can't be expanded or matches nothing.
	ErrPattern = errors.New("bad data set pattern")
	// ErrFormat is returned for a file that is not what it should be: no tar, a sparse member, two members of one name, no IDX.
	ErrFormat = errors.New("bad format")
	// ErrTruncated is returned for a file that ends too early.
	ErrTruncated = errors.New("file is truncated")
	// ErrCompressed is returned for a compressed shard, in which no sample can be read alone.
	ErrCompressed = errors.New("compressed shards can't be read by ranges")
	// ErrChanged is returned when an object is not any more what was indexed.
	ErrChanged = errors.New("object has changed since it was indexed")
	// ErrChecksum is returned when a sample's bytes stay different from what was indexed after several attempts.
	ErrChecksum = errors.New("wrong checksum")
	// ErrNoSamples is returned for a data set without a sample.
	ErrNoSamples = errors.New("no samples")
	// ErrNoLabel is returned for a sample without a label.
	ErrNoLabel = errors.New("no label")
	// ErrExhausted is returned when a corrupt sample has been replaced by every other sample in vain.
	ErrExhausted = errors.New("no replacement left")
	// ErrCache is returned when the cache of the indexes cannot be read or written; the data themselves are not to blame.
	ErrCache = errors.New("cannot keep the index")
	// ErrExists is returned when packing would overwrite something.
	ErrExists = errors.New("already exists")
)
