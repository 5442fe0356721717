package transform

import (
	"math"

	"github.com/sslctl/sslctl/pkg/keyed"
	"github.com/sslctl/sslctl/pkg/simd"
)

// powers are the tables of gamma, the same bits on every machine. The first part of the mantissas has c = 1, so that 1^y is 1.
var powers = func() *simd.PowerTables {
	t := &simd.PowerTables{}
	for i := range t.Inverse {
		c := 1.0
		if i > 0 {
			c += float64((float64(i) + 0.5) / float64(len(t.Inverse)))
		}
		t.Inverse[i], t.Log2[i] = 1/c, keyed.Log(c)/math.Ln2
	}
	for i := range t.Exp2 {
		t.Exp2[i] = keyed.Exp(math.Ln2 * float64(i) / float64(len(t.Exp2)))
	}
	return t
}()
