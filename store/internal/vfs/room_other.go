//go:build !linux && !darwin && !windows

package vfs

import "errors"

func (*osDir) Room() (int64, error) { return 0, errors.ErrUnsupported }
