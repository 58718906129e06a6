// Package report says where and when something was measured, and keeps what was measured.
package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/penstock-io/penstock/bench/machine"
)

// Scene is where and when something was measured.
type Scene struct {
	Date      string `json:"date"`   // of the beginning
	Commit    string `json:"commit"` // as far as git knows it
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	System    string `json:"system"`
	Disk      string `json:"disk"` // kind of file system
	Go        string `json:"go"`
	Load      string `json:"load"` // of the minute before; what else the machine had to do
}

// Describe describes this moment, and the machine with a directory that logs are written to.
func Describe(dir string) Scene {
	return Scene{
		Date: time.Now().Format(time.DateOnly), Commit: commit(), Processor: machine.Processor(), Cores: runtime.GOMAXPROCS(0),
		System: machine.Kernel() + ", " + runtime.GOARCH, Disk: machine.FileSystem(dir),
		Go: strings.TrimPrefix(runtime.Version(), "go"), Load: machine.Load(),
	}
}

// commit names the state of the work tree.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// String is a sentence without its end.
func (s Scene) String() string {
	return fmt.Sprintf("Commit %s on %s: %s, %d cores, %s, %s, Go %s; load before the run %s",
		s.Commit, s.Date, s.Processor, s.Cores, s.System, s.Disk, s.Go, s.Load)
}

// Scratch makes a directory for logs and returns what removes it.
func Scratch(dir, pattern string) (made string, remove func() error, err error) {
	made, err = os.MkdirTemp(dir, pattern)
	return made, func() error { return os.RemoveAll(made) }, err
}

// Keep writes files of one name with the endings that are their keys, and tells which.
func Keep(log io.Writer, dir, name string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for ending, content := range files {
		path := filepath.Join(dir, name+ending)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return errors.Join(fmt.Errorf("keep %s", name), err)
		}
		fmt.Fprintln(log, "kept", path)
	}
	return nil
}
