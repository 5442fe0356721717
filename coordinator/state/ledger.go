package state

import (
	"encoding/json"
	"iter"
	"slices"
	"sort"
)

// Entry is a run of steps (First, Last] that one generation has done, in counts of finished steps.
type Entry struct {
	Generation uint64 `json:"generation"`
	First      uint64 `json:"first"`
	Last       uint64 `json:"last"`
	Skipped    uint64 `json:"skipped,omitempty"` // steps among them whose update was skipped
	Digest     string `json:"digest,omitempty"`  // after Last; hex
	MeanLoss   Number `json:"mean_loss"`
}

// chunk is how many entries a ledger keeps in one immutable piece: what an append copies at most.
const chunk = 256

// Ledger is the immutable list of committed entries. Each begins where the one before ends; the first begins at step 0. Append and
// Rollback return a new Ledger that shares most of the old one, so that a job of a million entries costs no more than a young one.
type Ledger struct {
	full    [][]Entry // each of chunk entries
	tail    []Entry   // fewer than chunk
	skipped uint64
}

// End is the last committed step, 0 for an empty ledger.
func (l Ledger) End() uint64 {
	if n := l.Len(); n > 0 {
		return l.At(n - 1).Last
	}
	return 0
}

// Len is the number of entries.
func (l Ledger) Len() int { return len(l.full)*chunk + len(l.tail) }

// At is the i-th entry.
func (l Ledger) At(i int) Entry {
	if i < len(l.full)*chunk {
		return l.full[i/chunk][i%chunk]
	}
	return l.tail[i-len(l.full)*chunk]
}

// Skipped is the number of steps whose update was skipped.
func (l Ledger) Skipped() uint64 { return l.skipped }

// All yields the entries in order.
func (l Ledger) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for i := range l.Len() {
			if !yield(l.At(i)) {
				return
			}
		}
	}
}

// Find is the entry that ends at step last.
func (l Ledger) Find(last uint64) (Entry, bool) {
	i := sort.Search(l.Len(), func(i int) bool { return l.At(i).Last >= last })
	if i < l.Len() && l.At(i).Last == last {
		return l.At(i), true
	}
	return Entry{}, false
}

// Digest is the newest digest and the step that it was taken after; empty if no entry carries one.
func (l Ledger) Digest() (digest string, step uint64) {
	for i := l.Len() - 1; i >= 0; i-- {
		if e := l.At(i); e.Digest != "" {
			return e.Digest, e.Last
		}
	}
	return "", 0
}

// Append is l with e at its end. It returns ErrNotContiguous if e does not begin where l ends, or holds no step.
func (l Ledger) Append(e Entry) (Ledger, error) {
	if e.First != l.End() || e.Last <= e.First || e.Skipped > e.Last-e.First {
		return l, ErrNotContiguous
	}
	l.tail = append(slices.Clone(l.tail), e)
	l.skipped += e.Skipped
	if len(l.tail) == chunk {
		l.full = append(slices.Clone(l.full), l.tail)
		l.tail = nil
	}
	return l, nil
}

// Rollback is l up to step. An entry that goes beyond it is cut there and loses its digest, which holds only after its last step.
func (l Ledger) Rollback(step uint64) Ledger {
	if step >= l.End() {
		return l
	}
	keep := sort.Search(l.Len(), func(i int) bool { return l.At(i).Last > step })
	cut := l.At(keep)
	kept := make([]Entry, 0, keep+1)
	for i := range keep {
		kept = append(kept, l.At(i))
	}
	if cut.First < step {
		cut.Last, cut.Digest = step, ""
		cut.Skipped = min(cut.Skipped, cut.Last-cut.First)
		kept = append(kept, cut)
	}
	return ledgerOf(kept)
}

func ledgerOf(entries []Entry) Ledger {
	var l Ledger
	for piece := range slices.Chunk(entries, chunk) {
		if len(piece) == chunk {
			l.full = append(l.full, piece)
		} else {
			l.tail = piece
		}
	}
	for _, e := range entries {
		l.skipped += e.Skipped
	}
	return l
}

// MarshalJSON writes the entries as one list.
func (l Ledger) MarshalJSON() ([]byte, error) {
	entries := make([]Entry, 0, l.Len())
	for e := range l.All() {
		entries = append(entries, e)
	}
	return json.Marshal(entries)
}

// UnmarshalJSON reads what MarshalJSON has written.
func (l *Ledger) UnmarshalJSON(data []byte) error {
	var entries []Entry
	if err := json.Unmarshal(data, &entries); err != nil {
		return err
	}
	*l = ledgerOf(entries)
	return nil
}
