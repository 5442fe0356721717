package jobspec

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12},
	{"B", 1}, {"", 1},
}

// parseSize reads a number of bytes: a whole number with an optional unit.
func parseSize(s string) (Size, error) {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("size %q: %w", s, err)
		}
		if n > math.MaxInt64/u.bytes || n < math.MinInt64/u.bytes {
			return 0, fmt.Errorf("size %q does not fit into 63 bits", s)
		}
		return Size(n * u.bytes), nil
	}
	return 0, fmt.Errorf("size %q has no known unit", s)
}

// String is the shortest form with a binary unit that is exact.
func (s Size) String() string {
	for _, u := range []struct {
		suffix string
		bytes  Size
	}{{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10}} {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// String is the form of the standard library without empty units: "2s", "1m30s", "1h0m5s" stays as it is.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// interval is a set of numbers between two bounds.
type interval struct {
	lo, hi         float64
	openLo, openHi bool
	text           string
}

// parseInterval reads the range tag: "[1,64]", "(0,1]", "[0,)". It panics on a malformed tag, which a test of this package would see.
func parseInterval(tag string) interval {
	if len(tag) < 3 {
		panic("jobspec: malformed range tag " + tag)
	}
	r := interval{lo: math.Inf(-1), hi: math.Inf(1), openLo: tag[0] == '(', openHi: tag[len(tag)-1] == ')', text: tag}
	lo, hi, ok := strings.Cut(tag[1:len(tag)-1], ",")
	if !ok {
		panic("jobspec: malformed range tag " + tag)
	}
	for _, b := range []struct {
		text  string
		bound *float64
	}{{lo, &r.lo}, {hi, &r.hi}} {
		if b.text == "" {
			continue
		}
		f, err := strconv.ParseFloat(b.text, 64)
		if err != nil {
			panic("jobspec: malformed range tag " + tag)
		}
		*b.bound = f
	}
	return r
}

func (r interval) contains(x float64) bool {
	if x < r.lo || (r.openLo && x == r.lo) {
		return false
	}
	return x < r.hi || (!r.openHi && x == r.hi)
}

// describe says the interval in words, with bounds printed by show.
func (r interval) describe(show func(float64) string) string {
	var parts []string
	switch {
	case math.IsInf(r.lo, -1):
	case r.openLo:
		parts = append(parts, "> "+show(r.lo))
	default:
		parts = append(parts, "≥ "+show(r.lo))
	}
	switch {
	case math.IsInf(r.hi, 1):
	case r.openHi:
		parts = append(parts, "< "+show(r.hi))
	default:
		parts = append(parts, "≤ "+show(r.hi))
	}
	return strings.Join(parts, " and ")
}

func showNumber(x float64) string { return strconv.FormatFloat(x, 'g', 10, 64) }
func showSize(x float64) string   { return Size(x).String() }
func showSeconds(x float64) string {
	return Duration(math.Round(x*1e3) * float64(time.Millisecond)).String()
}
