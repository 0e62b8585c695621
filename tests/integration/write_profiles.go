// SPDX-License-Identifier: BSD-2-Clause

// Writes the profiles of runtime/pprof into the directory argv[1]: two of the CPU, and heap, allocs,
// mutex, block, goroutine, threadcreate. It has inlined calls, recursion, generic functions, sort
// and compress from the library, and several threads.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sort"
	"sync"
	"time"
)

type list[T any] struct{ items []T }

func (l *list[T]) push(v T) { l.items = append(l.items, v) }

func apply[T any](xs []T, f func(T) T) {
	for i := range xs {
		xs[i] = f(xs[i])
	}
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func square(x float64) float64 { return x*x + 1/(x+1) }

func sum(n int) (s float64) {
	for i := 0; i < n; i++ {
		s += square(float64(i))
	}
	return
}

var (
	kept [][]byte
	sink float64
)

func allocate(n int) {
	for i := 0; i < n; i++ {
		b := make([]byte, 1000+i%7000)
		if i%3 == 0 {
			kept = append(kept, b)
		}
	}
}

func work(until time.Time) {
	for time.Now().Before(until) {
		fib(22)
		sink += sum(20000)
		apply([]float64{1, 2, 3, 4, 5, 6}, square)
		l := &list[int]{}
		for i := 0; i < 5000; i++ {
			l.push(i * 7919 % 5003)
		}
		sort.Ints(l.items)
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		fmt.Fprintf(z, "%v", l.items)
		z.Close()
		allocate(300)
	}
}

func contend(d time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for end := time.Now().Add(d); time.Now().Before(end); {
				mu.Lock()
				time.Sleep(time.Millisecond)
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
}

func create(dir, name string) *os.File {
	f, err := os.Create(filepath.Join(dir, name+".pb.gz"))
	if err != nil {
		panic(err)
	}
	return f
}

func main() {
	dir := os.Args[1]
	runtime.MemProfileRate = 4096
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	for i := 1; i <= 2; i++ {
		f := create(dir, fmt.Sprintf("cpu%d", i))
		if err := pprof.StartCPUProfile(f); err != nil {
			panic(err)
		}
		pprof.Do(context.Background(), pprof.Labels("round", fmt.Sprint(i)), func(context.Context) {
			work(time.Now().Add(time.Second))
		})
		pprof.StopCPUProfile()
		f.Close()
	}
	contend(100 * time.Millisecond)
	for _, name := range []string{"heap", "allocs", "mutex", "block", "goroutine", "threadcreate"} {
		f := create(dir, name)
		if err := pprof.Lookup(name).WriteTo(f, 0); err != nil {
			panic(err)
		}
		f.Close()
	}
}
