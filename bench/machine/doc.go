// Package machine describes the machine of a measurement, and the least that a durable write
// costs on it: a file that is filled with zeros ahead and synced, and a journal that shares its
// syncs among all writers.
package machine
