package task

// Definition is MoCo's loss and gradient by their definition, in float64, for the tests outside of the package.
func Definition(t Task, own []Batch) (loss float64, gradient []float64) {
	return definition(t.(*moco), own)
}
