package main

// figure is one line of the table.
type figure struct {
	ID       string   `json:"id"`   // the letter of its row, a second figure's name after a dot
	Work     string   `json:"work"` // what was done
	Ours     float64  `json:"ours"`
	Peer     *float64 `json:"peer"`     // null where there is none, or it is missing
	PeerName string   `json:"peerName"` // what it was, or what is missing and how to get it
	Unit     string   `json:"unit"`     // of Ours and Peer
	Ratio    *float64 `json:"ratio"`    // such that lower is better: of times and sizes ours ÷ peer, of rates peer ÷ ours

	bar bar
}

// bar is what a figure must not exceed: its ratio, or itself where there is nothing to compare with. The zero value is no bar.
type bar struct {
	most     float64
	absolute bool
	set      bool
}

func ratioBar(most float64) bar    { return bar{most: most, set: true} }
func absoluteBar(most float64) bar { return bar{most: most, absolute: true, set: true} }

// compared makes the figure of a comparison of times.
func compared(id, work string, p pair, b bar) figure {
	f := figure{ID: id, Work: work, Ours: 1e3 * p.ours, PeerName: p.peerName, Unit: "ms", bar: b}
	if p.theirs > 0 {
		f.against(1e3*p.theirs, p.ours/p.theirs)
	}
	return f
}

func (f *figure) against(peer, ratio float64) { f.Peer, f.Ratio = &peer, &ratio }

// verdict is "met", "not met", or "" where there is no bar or nothing to compare with.
func (f *figure) verdict() string {
	value := f.Ours
	if !f.bar.absolute {
		if f.Ratio == nil {
			return ""
		}
		value = *f.Ratio
	}
	switch {
	case !f.bar.set:
		return ""
	case value <= f.bar.most:
		return "met"
	}
	return "not met"
}
