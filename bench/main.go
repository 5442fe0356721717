// Bench measures what training spends its time on, each beside what others offer for the same, in one run, and prints one table of medians and ratios.
// `make bench` runs it; docs/performance.md explains the rows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// bench is what all rows share.
type bench struct {
	interpreter string // Python that has the peers
	root        string // of the source tree, absolute
	peers       string // folder of the peers' programs
	threads     int
	rounds      int
	verbose     bool
}

// row is a letter of the table, and what measures its figures.
type row struct {
	letter  string
	measure func(*bench, context.Context) ([]figure, error)
}

var rows = []row{
	{"a", (*bench).gemm},
	{"b", (*bench).conv},
	{"c", (*bench).resnet},
	{"d", (*bench).vit},
	{"e", (*bench).infoNCE},
	{"f", (*bench).ntXent},
	{"g", (*bench).updates},
	{"h", (*bench).worker},
	{"k", (*bench).rings},
	{"l", (*bench).allocations},
	{"m", (*bench).fixtures},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var (
		letters = flags.String("row", "", "letters of the rows to measure, for example ae; all if empty")
		root    = flags.String("root", ".", "root of the source tree")
		results = flags.String("results", "bench/results.json", "file for the results, a relative one below the root; none if empty")
		python  = flags.String("python", "", "Python that has the peers' libraries (default: that of scripts/peers.sh, else python3)")
		only    = flags.String("only", "", "measure this in a fresh process and print it: "+strings.Join(alone(), ", "))
		b       bench
	)
	flags.IntVar(&b.rounds, "rounds", 7, "turns of each side of a comparison")
	flags.BoolVar(&b.verbose, "v", false, "print the spread of each comparison")
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if *only != "" {
		return runAlone(*only)
	}
	chosen, err := choose(*letters)
	if err != nil {
		return err
	}
	if b.root, err = filepath.Abs(*root); err != nil {
		return fmt.Errorf("find the source tree: %w", err)
	}
	b.peers, b.threads = filepath.Join(b.root, "bench", "peers"), runtime.GOMAXPROCS(0)
	b.interpreter = interpreter(*python)
	fmt.Println(machine())
	figures := []figure{}
	for _, r := range chosen {
		fmt.Fprintf(os.Stderr, "bench: row %s\n", r.letter)
		measured, err := r.measure(&b, ctx)
		if err != nil {
			return fmt.Errorf("row %s: %w", r.letter, err)
		}
		figures = append(figures, measured...)
	}
	if err := writeTable(os.Stdout, figures); err != nil {
		return err
	}
	if *results == "" {
		return nil
	}
	path := *results
	if !filepath.IsAbs(path) {
		path = filepath.Join(b.root, path)
	}
	return writeResults(path, figures)
}

// choose picks rows by their letters.
func choose(letters string) ([]row, error) {
	if letters == "" {
		return rows, nil
	}
	known := ""
	for _, r := range rows {
		known += r.letter
	}
	if unknown := strings.Trim(letters, known); unknown != "" {
		return nil, fmt.Errorf("there is no row %q; expected letters of %s", unknown, known)
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return !strings.Contains(letters, r.letter) }), nil
}

// interpreter is the Python asked for, else the one that scripts/peers.sh made, else any.
func interpreter(asked string) string {
	if asked != "" {
		return asked
	}
	tools := os.Getenv("SSLCTL_TOOLS")
	if tools == "" {
		home, _ := os.UserHomeDir()
		tools = filepath.Join(home, ".cache", "sslctl-tools")
	}
	if path := filepath.Join(tools, "peers", "bin", "python"); exists(path) {
		return path
	}
	return "python3"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
