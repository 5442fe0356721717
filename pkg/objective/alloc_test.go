//go:build !race

package objective

import "testing"

// The scores of these would take 64 MiB; scratch is a few tiles a thread, however many rows there are.
func TestALossAllocatesAFewTiles(t *testing.T) {
	const d, most = 16, 4 << 20
	for name, step := range map[string]func(){"NT-Xent": ntXentStep(2048, d), "hard negatives": hardStep(2048, d), "InfoNCE with a bank": bankStep(256, 65536, d)} {
		if got := scratch(step); got > most {
			t.Errorf("%s allocates %d bytes beside its arguments, want at most %d", name, got, most)
		}
	}
}
