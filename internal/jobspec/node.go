package jobspec

import (
	"iter"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// pairs yields the keys and values of a mapping node.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// plainTags are those of values that are written without a tag.
var plainTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge"}

// describeNode says what a value is, for "is …".
func describeNode(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if isNull(n) {
			return "empty"
		}
		text := n.Value
		if len(text) > 60 {
			text = text[:60] + "…"
		}
		if tag := n.ShortTag(); !slices.Contains(plainTags, tag) {
			return strconv.Quote(text) + " with the tag " + tag
		}
		if n.ShortTag() == "!!str" {
			return "the text " + strconv.Quote(text)
		}
		return text
	}
	return "not a value"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
