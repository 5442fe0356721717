package jobspec

import (
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Defaults is a job with every field at its default; fields without one are empty, optional sections absent. It is not valid: required
// fields are missing.
func Defaults() *Job {
	job := &Job{}
	setDefaults(reflect.ValueOf(job).Elem())
	return job
}

// setDefaults fills the fields of a struct from their default tags, and those of the sections in it.
func setDefaults(v reflect.Value) {
	for _, f := range Fields(v.Type()) {
		fv := v.FieldByIndex(f.index)
		if fv.Kind() == reflect.Struct {
			setDefaults(fv)
			continue
		}
		if f.Default == "" {
			continue
		}
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(f.Default), &doc); err != nil {
			panic("jobspec: malformed default of " + f.GoName + ": " + err.Error())
		}
		d := decoder{}
		d.value(doc.Content[0], fv, f, f.Name)
		if len(d.errs) > 0 {
			panic("jobspec: default of " + f.GoName + " is not valid: " + d.errs.Error())
		}
	}
}

// derive fills what is computed from other fields. It runs before validation, on fields that the file left out; written are those that it has.
func (j *Job) derive(written map[string]place) {
	s := &j.Spec
	if _, ok := written["spec.optimizer.excludeNormAndBias"]; !ok {
		s.Optimizer.ExcludeNormAndBias = s.Optimizer.Name == "lars"
	}
	if s.Workers.Max == 0 {
		s.Workers.Max = s.Training.VirtualRanks
	}
	if info, _ := taskInfo(s.Task.Name); s.Task.Loss == "" && len(info.Losses) > 0 {
		s.Task.Loss = info.Losses[0]
	}
	for _, t := range s.Transforms {
		if c := t.RandomResizedCrop; c != nil && c.Size == 0 {
			c.Size = s.Model.Image.Height
		}
	}
}
