// Package drivertest runs the projector against real databases: SQLite always, PostgreSQL where
// PENSTOCK_POSTGRES_DSN names one. It is a module of its own, so that no driver is a requirement of
// those who import Penstock. The example shows how a projector is used.
//
//	go test -C reactor/projector/drivertest ./...
package drivertest
