package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Pages hold what a run has reached between marks, each on a line of its own:
//
//	<!-- compare: table -->
//	...
//	<!-- compare: end -->
//
// and likewise the chart.
const (
	tableMark = "<!-- compare: table -->\n"
	chartMark = "<!-- compare: chart -->\n"
	endMark   = "<!-- compare: end -->\n"
)

// publish writes table and chart into pages. kept is the directory of the files of the run.
func (r results) publish(pages []string, kept string) error {
	for _, page := range pages {
		before, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		after, err := r.published(string(before), page, kept)
		if err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
		if err := os.WriteFile(page, []byte(after), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// published is the content of a page with table and chart in the place of what was there.
func (r results) published(content, page, kept string) (string, error) {
	from, err := filepath.Abs(filepath.Dir(page)) // of two relative names neither may be below the other
	if err != nil {
		return "", err
	}
	to, err := filepath.Abs(filepath.Join(kept, r.name()))
	if err == nil {
		to, err = filepath.Rel(from, to)
	}
	if err != nil {
		return "", err
	}
	to = filepath.ToSlash(to)
	found := false
	for mark, text := range map[string]string{
		tableMark: fmt.Sprintf("%s All figures: [%s.md](%s.md).\n\n%s", r.scene(), r.name(), to, r.table()),
		chartMark: fmt.Sprintf("![A bar for each goal: how far it is met](%s.svg)\n", to),
	} {
		head, rest, begins := strings.Cut(content, mark)
		_, tail, ends := strings.Cut(rest, endMark)
		if begins && !ends {
			return "", fmt.Errorf("%s has no end", strings.TrimSpace(mark))
		}
		if begins {
			found = true
			content = head + mark + text + endMark + tail
		}
	}
	if !found {
		return "", fmt.Errorf("it has no line %s", strings.TrimSpace(tableMark))
	}
	return content, nil
}
