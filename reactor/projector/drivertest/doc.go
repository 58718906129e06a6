// Package drivertest runs the projector against real databases: SQLite always, PostgreSQL where
// PENSTOCK_POSTGRES_DSN names one. It is a module of its own, so that no driver is a requirement of
// those who import Penstock.
//
//	go test -C reactor/projector/drivertest ./...
package drivertest
