//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd || windows)

package vfs

import (
	"errors"
	"os"
)

const (
	presencePatience = lockPatience
	claimsDirectory  = false
)

func tryClaim(_, _ *os.File) (bool, error) { return false, errors.ErrUnsupported }

func claimHeld(*os.File) (bool, error) { return false, nil }

func tryPresence(*os.File) (bool, error) { return false, errors.ErrUnsupported }

func presence(*os.File) (bool, error) { return false, errors.ErrUnsupported }
