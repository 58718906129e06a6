//go:build !linux

package vfs

const largeFile = 0
