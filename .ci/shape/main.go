// Command shape fails where Go code outgrows what a reader holds in mind: long files, long
// functions, types with many methods, comments wider than a page. A limit of 0 is no limit.
//
//	go run ./.ci/shape [-lines 400] [-func 60] [-methods 30] [-columns 100] [-except store.Store]
//
// Files, functions and methods are those of the product; comments are those of every Go file.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// limits of what is found; each is exceeded by larger ones.
type limits struct{ lines, function, methods, columns int }

// survey is what was found in the tree.
type survey struct {
	limits
	files    *token.FileSet
	methods  map[string]int // by folder and receiver, as in store.Store
	findings []string
}

func main() {
	s := survey{files: token.NewFileSet(), methods: make(map[string]int)}
	flag.IntVar(&s.lines, "lines", 400, "lines of a `file`")
	flag.IntVar(&s.function, "func", 60, "lines of a `function`")
	flag.IntVar(&s.limits.methods, "methods", 30, "methods of a `type`")
	flag.IntVar(&s.columns, "columns", 100, "columns of a line that is a `comment`, a tab being one")
	except := flag.String("except", "", "`types` that may have more methods, separated by commas")
	flag.Parse()
	err := filepath.WalkDir(".", s.visit)
	if err != nil {
		fmt.Fprintln(os.Stderr, "shape:", err)
		os.Exit(2)
	}
	s.countMethods(strings.Split(*except, ","))
	for _, line := range s.findings {
		fmt.Fprintln(os.Stdout, line)
	}
	if len(s.findings) > 0 {
		os.Exit(1)
	}
}

func (s *survey) visit(path string, d fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case d.IsDir() && (d.Name() == "testdata" || len(path) > 1 && path[0] == '.'):
		return filepath.SkipDir
	case d.IsDir() || filepath.Ext(path) != ".go":
		return nil
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(s.files, path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	s.comments(file, strings.Split(string(source), "\n"))
	if product(path) {
		s.sizes(path, file)
	}
	return nil
}

func product(path string) bool {
	first, _, _ := strings.Cut(filepath.ToSlash(path), "/")
	return !strings.HasSuffix(path, "_test.go") && first != "bench" && first != "examples"
}

// over notes a finding if a limit is exceeded.
func (s *survey) over(at token.Position, what string, got, limit int) {
	if limit > 0 && got > limit {
		s.findings = append(s.findings, fmt.Sprintf("%s:%d: %s: %d, at most %d", at.Filename, at.Line, what, got, limit))
	}
}

func (s *survey) sizes(path string, file *ast.File) {
	end := s.files.Position(file.FileEnd)
	s.over(s.files.Position(file.Package), "lines of the file", end.Line, s.lines)
	for _, declaration := range file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		at := s.files.Position(f.Pos())
		s.over(at, "lines of "+f.Name.Name, s.files.Position(f.End()).Line-at.Line+1, s.function)
		if f.Recv != nil {
			s.methods[filepath.ToSlash(filepath.Dir(path))+"."+receiver(f.Recv.List[0].Type)]++
		}
	}
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

func (s *survey) countMethods(except []string) {
	byCount := func(a, b string) int { return cmp.Or(s.methods[b]-s.methods[a], strings.Compare(a, b)) }
	for _, name := range slices.SortedFunc(maps.Keys(s.methods), byCount) {
		if !slices.Contains(except, name) {
			s.over(token.Position{Filename: name}, "methods", s.methods[name], s.limits.methods)
		}
	}
}

// output matches the first line of what an example prints, which is compared and not wrapped.
var output = regexp.MustCompile(`(?i)^//\s*(unordered )?output:`)

// comments looks at lines that are nothing but a comment. Directives, addresses and the output of
// examples cannot be broken.
func (s *survey) comments(file *ast.File, lines []string) {
	for _, group := range file.Comments {
		if output.MatchString(group.List[0].Text) {
			continue
		}
		for n := s.files.Position(group.Pos()).Line; n <= s.files.Position(group.End()).Line; n++ {
			line := strings.TrimSuffix(lines[n-1], "\r")
			text := strings.TrimLeft(line, "\t ")
			if !strings.HasPrefix(text, "//") || strings.Contains(text, "://") ||
				strings.HasPrefix(text, "//nolint") || strings.HasPrefix(text, "//go:") {
				continue
			}
			at := token.Position{Filename: s.files.Position(group.Pos()).Filename, Line: n}
			s.over(at, "columns of the comment", utf8.RuneCountInString(line), s.columns)
		}
	}
}
