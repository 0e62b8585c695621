// SPDX-License-Identifier: BSD-2-Clause
//
// Writes a CPU profile of its own with Go's encoder, for cprof to read.
// go_profile FILE
package main

import (
	"log"
	"os"
	"runtime/pprof"
	"time"
)

//go:noinline
func goSpin(x uint64) uint64 {
	for i := 0; i < 100000; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

//go:noinline
func goSpinTwice(x uint64) uint64 {
	return goSpin(goSpin(x))
}

func main() {
	out, err := os.Create(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		log.Fatal(err)
	}
	x := uint64(1)
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		x = goSpin(goSpinTwice(x))
	}
	pprof.StopCPUProfile()
	if err := out.Close(); err != nil || x == 0 {
		log.Fatal(err)
	}
}
