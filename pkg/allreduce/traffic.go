package allreduce

// Traffic counts the bytes that each rank of a ring will send for collectives, as Stats.BytesSent will have them in an undisturbed run.
// It is made of the streams that carry the collectives, so that it cannot differ from them.
type Traffic struct {
	group *Group // of rank 0; never joined: streams are the same on every rank
	sent  []uint64
}

// NewTraffic begins to count for the ring of config, whose Rank does not matter.
func NewTraffic(config Config) (*Traffic, error) {
	config.Rank = 0
	config, err := config.filled()
	if err != nil {
		return nil, err
	}
	return &Traffic{group: &Group{config: config}, sent: make([]uint64, config.World)}, nil
}

// Sent is what each rank has to send for the collectives counted so far.
func (t *Traffic) Sent() []uint64 { return t.sent }

func (t *Traffic) count(streams ...*stream) {
	if len(t.sent) == 1 {
		return
	}
	for rank := range t.sent {
		for _, s := range streams {
			t.sent[rank] += s.sent(t.group.config, rank)
		}
	}
}

// AllGather counts an AllGather of tensors of that many bytes for each virtual rank.
func (t *Traffic) AllGather(bytes int) {
	t.count(&stream{unit: 1, align: 1, starts: t.group.byOwner(bytes), gather: true})
}

// Sum counts a Sum of tensors of that many elements.
func (t *Traffic) Sum(elements int) { t.sum(elements, nil) }

// SumGradients counts a SumGradients of tensors of that many elements.
func (t *Traffic) SumGradients(elements int) {
	if t.group.config.Wire == WireInt16 {
		t.sum(elements, &narrow{})
		return
	}
	t.sum(elements, nil)
}

func (t *Traffic) sum(elements int, wire *narrow) {
	t.count(t.group.sumStreams(&fixedPoint{sum: make([]float32, elements), exponents: make([]byte, ceilBlocks(elements)), narrow: wire})...)
}

// SumScatter counts a SumScatter of tensors of that many elements.
func (t *Traffic) SumScatter(elements int) {
	t.count(&stream{unit: 4, align: 1, starts: t.group.byOwner(elements / t.group.config.VirtualRanks), reduce: true})
}

// Max counts a Max of tensors of that many elements.
func (t *Traffic) Max(elements int) {
	t.count(&stream{unit: 4, align: 1, starts: t.group.even(0, elements), reduce: true, gather: true})
}

// Exchange counts an Exchange of blobs of these many bytes, one for each rank.
func (t *Traffic) Exchange(bytes []int) {
	lengths, blobs := make([]int, len(bytes)+1), make([]int, len(bytes)+1)
	for i, n := range bytes {
		lengths[i+1], blobs[i+1] = lengths[i]+8, blobs[i]+n
	}
	t.count(&stream{unit: 1, align: 1, starts: lengths, gather: true}, &stream{unit: 1, align: 1, starts: blobs, gather: true})
}
