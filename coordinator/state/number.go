package state

import (
	"fmt"
	"math"
	"strconv"
)

// Number is a float64 that survives JSON to the bit, NaN and infinities included (NaNs become the one canonical NaN).
type Number float64

// MarshalJSON writes the shortest decimal that reads back as n, or a string for what JSON has no number for.
func (n Number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte(`"` + text + `"`), nil
	}
	return []byte(text), nil
}

// UnmarshalJSON reads what MarshalJSON has written.
func (n *Number) UnmarshalJSON(data []byte) error {
	text := string(data)
	if len(text) >= 2 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("read %q as a number: %w", data, err)
	}
	*n = Number(f)
	return nil
}

// Equal compares by value; NaN equals NaN.
func (n Number) Equal(m Number) bool { return n == m || (n != n && m != m) }
