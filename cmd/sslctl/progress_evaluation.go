package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	sslctlv1 "github.com/sslctl/sslctl/proto/sslctl/v1alpha1"
)

// evaluationLines tells each evaluation of a job once, and its floors, which do not change, before the first.
type evaluationLines struct {
	told   int // evaluations
	floors bool
}

// next are the lines about what was not told yet.
func (l *evaluationLines) next(j *sslctlv1.Job) []string {
	var lines []string
	for ; l.told < len(j.Evaluations); l.told++ {
		e := j.Evaluations[l.told]
		if floors := floorsLine(e); floors != "" && !l.floors {
			lines, l.floors = append(lines, floors), true
		}
		lines = append(lines, evaluationLine(e))
		if e.Warning != "" {
			lines = append(lines, "WARNING: "+e.Warning)
		}
	}
	return lines
}

// evaluationLine is an evaluation in one line: "epoch 1 (step 40): kNN 80.4 %, linear 83.9 %". Where nothing has labels, it tells how far the
// embeddings spread.
func evaluationLine(e *sslctlv1.Evaluation) string {
	text := accuracies(e, "")
	if text == "" {
		text = fmt.Sprintf("effective rank %.1f, mean cosine %.2f", e.Values["effectiveRank"], e.Values["meanCosine"])
	}
	epoch := strconv.FormatFloat(math.Round(10*e.Epoch)/10, 'f', -1, 64)
	return fmt.Sprintf("epoch %s (step %d): %s", epoch, e.Step, text)
}

// floorsLine is what the same measures are without training: "untrained: kNN 80.1 %; raw pixels: kNN 81.0 %". It is empty where they were not taken.
func floorsLine(e *sslctlv1.Evaluation) string {
	var parts []string
	for _, floor := range []struct{ prefix, label string }{{"untrained.", "untrained"}, {"rawPixel.", "raw pixels"}} {
		if text := accuracies(e, floor.prefix); text != "" {
			parts = append(parts, floor.label+": "+text)
		}
	}
	return strings.Join(parts, "; ")
}

// accuracies are the top-1 measures whose names have the prefix.
func accuracies(e *sslctlv1.Evaluation, prefix string) string {
	var parts []string
	for _, measure := range []struct{ name, label string }{{"knn.top1", "kNN"}, {"linear.top1", "linear"}} {
		if v, ok := e.Values[prefix+measure.name]; ok {
			parts = append(parts, fmt.Sprintf("%s %s", measure.label, percentText(v)))
		}
	}
	return strings.Join(parts, ", ")
}

// percentText is a fraction as people read it: "80.4 %".
func percentText(fraction float64) string { return fmt.Sprintf("%.1f %%", 100*fraction) }
