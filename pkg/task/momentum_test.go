package task

import (
	"context"
	"math"
	"testing"
)

// Each step moves the query's parameters by 1; the key encoder must follow by the share that the schedule leaves it.
func TestTheKeyEncoderFollowsByTheScheduledShare(t *testing.T) {
	const steps = 4
	for _, name := range []string{"moco", "mocov3", "byol"} {
		for schedule, share := range map[string]func(step uint64) float64{
			"":         func(uint64) float64 { return 0.9 },
			"constant": func(uint64) float64 { return 0.9 },
			"cosine":   func(step uint64) float64 { return 1 - (1-0.9)*(math.Cos(math.Pi*float64(step)/steps)+1)/2 },
		} {
			c := Config{Name: name, Loss: "infonce", Temperature: testTau, Momentum: 0.9, ShuffleGroups: 1, BankSize: testBank, MomentumSchedule: schedule}
			e := testEnvironment(t, c)
			e.TotalSteps = steps
			made, err := New(c, e)
			if err != nil {
				t.Fatal(err)
			}
			query := made.Trained()[0].Parameters.Data
			var key []float32
			switch m := made.(type) {
			case *moco:
				key = m.key.model.Params().Data
			case *mocov3:
				key = m.key.model.Params().Data
			case *byol:
				key = m.key.model.Params().Data
			}
			at := made.Trained()[0].Parameters.Params[0].Offset
			want := float64(key[at])
			for step := range uint64(steps) {
				_, err := made.Step(context.Background(), alone{testRanks}, step, testBatches(step), func(context.Context, ...string) error {
					for i := range query {
						query[i]++
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				m := share(step)
				want = m*want + (1-m)*float64(query[at])
				if math.Abs(float64(key[at])-want) > 1e-5*math.Abs(want) {
					t.Errorf("%s, schedule %q, step %d: the key's parameter is %v, want %v", name, schedule, step, key[at], want)
				}
			}
		}
	}
}
