package allreduce

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// Whoever answers where a neighbour was cannot make a worker take memory, or die, by announcing large frames.
func TestAnnouncedFramesAreBounded(t *testing.T) {
	config, err := Config{World: 2, VirtualRanks: 2}.filled()
	if err != nil {
		t.Fatal(err)
	}
	lane := &LaneTransport{most: 1 << 20, pool: newPool(config)}
	large := make([]byte, headerBytes)
	h := header{kind: kindData}
	h.seal(large)
	binary.LittleEndian.PutUint32(large[68:], 0xffffffff)
	binary.LittleEndian.PutUint32(large[headerBytes-4:], headerSum(large))
	for text, in := range map[string]func(net.Conn) inlet{
		string(large): func(c net.Conn) inlet { return &directInlet{Conn: c, reader: reader{conn: c}} },
		"MSG ring.1.1.0 1 9223372036854775807\r\n": func(c net.Conn) inlet { return &natsInlet{c, &reader{conn: c}} },
		"MSG ring.1.1.0 1 1048577\r\n":             func(c net.Conn) inlet { return &natsInlet{c, &reader{conn: c}} },
		"MSG ring.1.1.0 1 -1\r\n":                  func(c net.Conn) inlet { return &natsInlet{c, &reader{conn: c}} },
	} {
		here, there := net.Pipe()
		here.SetDeadline(time.Now().Add(10 * time.Second))
		there.SetDeadline(time.Now().Add(10 * time.Second))
		var writer sync.WaitGroup
		writer.Go(func() { fmt.Fprint(there, text) })
		if _, err := in(here).receive(lane.room); !errors.Is(err, errMalformed) {
			t.Errorf("%q: error %v, want %v", text, err, errMalformed)
		}
		here.Close()
		writer.Wait()
	}
}

// A gathering has no partial sums, and what is scattered passes no results on: frames that say otherwise are no neighbour's.
func TestFramesFitTheirStream(t *testing.T) {
	config, err := Config{World: 2, VirtualRanks: 2, Rank: 1}.filled()
	if err != nil {
		t.Fatal(err)
	}
	g := &Group{config: config, link: newLink(config, nil)}
	for _, c := range []struct {
		reduce, gather bool
		flags          uint16
		fits           bool
	}{
		{reduce: true, gather: true, fits: true}, {reduce: true, gather: true, flags: flagFinal, fits: true},
		{gather: true, flags: flagFinal, fits: true}, {gather: true},
		{reduce: true, fits: true}, {reduce: true, flags: flagFinal},
	} {
		s := &stream{op: opGather, unit: 1, align: 1, starts: []int{0, 4, 8}, reduce: c.reduce, gather: c.gather}
		f := g.link.frame(4)
		f.header = header{op: opGather, flags: c.flags, total: 8}
		if _, _, _, err := g.locate([]*stream{s}, f); (err == nil) != c.fits || err != nil && !errors.Is(err, ErrOutOfStep) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestAnnouncedBlobsAreBounded(t *testing.T) {
	lengths := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 3), mostBlob)
	if starts, err := blobStarts(lengths); err != nil || !slices.Equal(starts, []int{0, 3, 3 + mostBlob}) {
		t.Errorf("%v, %v", starts, err)
	}
	for _, n := range []uint64{mostBlob + 1, 1 << 63} {
		if _, err := blobStarts(binary.LittleEndian.AppendUint64(nil, n)); err == nil {
			t.Errorf("%d bytes are accepted", n)
		}
	}
}
