//go:build !unix

package store

import "errors"

func limitFiles(int) error { return errors.ErrUnsupported }
