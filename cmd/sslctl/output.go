package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// outputs are the values of --output.
var outputs = []string{"table", "wide", "json", "yaml"}

// print writes v as --output says; table writes it for people, in more columns when wide is asked for.
func (g *globals) print(v any, table func(w io.Writer, wide bool)) error {
	switch g.output {
	case "json":
		return writeJSON(g.out, v)
	case "yaml":
		return writeYAML(g.out, v)
	}
	table(g.out, g.output == "wide")
	return nil
}

func writeJSON(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s\n", text); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	return nil
}

// writeJSONLine writes v as one line, for streams of objects.
func writeJSONLine(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s\n", text); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	return nil
}

// writeYAML has the names and the order of the JSON form.
func writeYAML(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("printing YAML: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("printing YAML: %w", err)
	}
	blockStyle(&doc)
	out, err := yaml.Marshal(&doc)
	if err != nil {
		return fmt.Errorf("printing YAML: %w", err)
	}
	if _, err := io.Copy(w, bytes.NewReader(out)); err != nil {
		return fmt.Errorf("printing YAML: %w", err)
	}
	return nil
}

// blockStyle turns the flow style of JSON into YAML's usual one.
func blockStyle(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode || len(n.Content) > 0 {
		n.Style = 0 // text that would read as something else keeps its quotes by its tag
	}
	for _, child := range n.Content {
		blockStyle(child)
	}
}

// number is a float that JSON can hold: NaN and infinities become null.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', -1, 64), nil
}
