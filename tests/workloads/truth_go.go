// SPDX-License-Identifier: BSD-2-Clause
//
// Go: goroutines on stacks of their own, maps, interfaces, garbage collection.
// truth_go [SECONDS]
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"time"
)

type shape interface{ area(depth int) int }
type leaf struct{ side int }
type group struct{ parts []shape }

func (l leaf) area(depth int) int { return len(fmt.Sprintf("%d %v", depth, l)) }

func (g group) area(depth int) int {
	sum := 0
	for _, p := range g.parts {
		sum += p.area(depth + 1)
	}
	return sum
}

func grow(depth int) shape {
	if depth == 0 {
		return leaf{7}
	}
	g := group{}
	for i := 0; i < 3; i++ {
		g.parts = append(g.parts, grow(depth-1))
	}
	return g
}

func work(end time.Time, done chan int) {
	tree, words, sum := grow(5), map[string]int{}, 0
	for time.Now().Before(end) {
		sum += tree.area(0)
		keys := []string{}
		for i := 0; i < 500; i++ {
			words["k"+strconv.Itoa(i*7919%1000)] += i
		}
		for k := range words {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		sum += len(keys[0])
	}
	done <- sum
}

func main() {
	seconds := 3600.0
	if len(os.Args) > 1 {
		seconds, _ = strconv.ParseFloat(os.Args[1], 64)
	}
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	done := make(chan int)
	fmt.Println("ready")
	for i := 0; i < 2; i++ {
		go work(end, done)
	}
	if <-done+<-done == 0 {
		os.Exit(1)
	}
}
