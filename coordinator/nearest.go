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
	type near struct {
		name     string
		distance int
	}
	var list []near
	for _, j := range s.ByUID() {
		if slices.ContainsFunc(list, func(n near) bool { return n.name == j.Name }) {
			continue
		}
		d := editDistance(name, j.Name)
		if d <= max(2, len(name)/2) || strings.Contains(j.Name, name) {
			list = append(list, near{j.Name, d})
		}
	}
	slices.SortStableFunc(list, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	switch {
	case len(s.Jobs) == 0:
		return "no job was ever submitted"
	case len(list) == 0:
		return "no name is near; sslctl list shows all jobs"
	}
	names := make([]string, 0, nearestMost)
	for _, n := range list[:min(len(list), nearestMost)] {
		names = append(names, fmt.Sprintf("%q", n.name))
	}
	return "did you mean " + strings.Join(names, " or ") + "?"
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
