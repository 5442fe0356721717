package coordinator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sslctl/sslctl/coordinator/state"
)

// nearestMost is how many names an error offers.
const nearestMost = 3

// offer names the jobs whose names are nearest to one that does not exist.
func offer(s *state.State, name string) string {
	if len(s.Jobs) == 0 {
		return "no job is listed"
	}
	names := make([]string, 0, len(s.Jobs))
	for _, j := range s.ByUID() {
		names = append(names, j.Name)
	}
	return cmp.Or(didYouMean(names, name), "no name is near; sslctl list shows all jobs")
}

// didYouMean offers the names that are nearest to one that does not exist; it is empty if none is near.
func didYouMean(names []string, name string) string {
	type near struct {
		name     string
		distance int
	}
	var list []near
	for _, n := range names {
		if slices.ContainsFunc(list, func(l near) bool { return l.name == n }) {
			continue
		}
		d := editDistance(name, n)
		if d <= max(2, len(name)/2) || strings.Contains(n, name) {
			list = append(list, near{n, d})
		}
	}
	if len(list) == 0 {
		return ""
	}
	slices.SortStableFunc(list, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	offered := make([]string, 0, nearestMost)
	for _, n := range list[:min(len(list), nearestMost)] {
		offered = append(offered, fmt.Sprintf("%q", n.name))
	}
	return "did you mean " + strings.Join(offered, " or ") + "?"
}

// editDistance is the number of insertions, deletions and substitutions between a and b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
