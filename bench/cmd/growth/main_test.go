package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestTheProgramMeasuresAllThatItNames(t *testing.T) {
	var stdout, stderr bytes.Buffer
	args := []string{"-dir", t.TempDir(), "-events", "3000", "-entities", "1000", "-samples", "20"}
	if err := run(t.Context(), args, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if n := strings.Count(stdout.String(), "\n"); n != 12 {
		t.Errorf("%d lines:\n%s", n, &stdout)
	}
}
