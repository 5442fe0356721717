package worker

import (
	"errors"
	"testing"
)

func TestRingAddressesAreChecked(t *testing.T) {
	for _, good := range [][2]string{{":0", ""}, {"127.0.0.1:7620", "10.0.0.7"}, {":7620", "fd00::7"}, {"localhost:0", "worker-1.example"}} {
		if err := checkRingAddress(good[0], good[1]); err != nil {
			t.Errorf("listen at %q, dial %q: %v", good[0], good[1], err)
		}
	}
	for _, bad := range [][2]string{
		{"7620", ""}, {":ring", ""}, {":70000", ""}, {"192.0.2.1:0", ""}, {":0", "10.0.0.7:7620"}, {":0", "[fd00::7]"}, {":0", "0.0.0.0"}, {":0", "::"},
	} {
		if err := checkRingAddress(bad[0], bad[1]); !errors.Is(err, ErrConfig) {
			t.Errorf("listen at %q, dial %q: error %v, want %v", bad[0], bad[1], err, ErrConfig)
		}
	}
}
