//go:build !race && !penstock_poison

package store

const poisons = false
