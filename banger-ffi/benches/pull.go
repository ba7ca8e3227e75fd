// Pull STATE CACHE REFERENCE FILE prints the seconds of CPU time that one pull took.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"syscall"

	"github.com/banger-project/banger/go/banger"
)

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func main() {
	before := cpuSeconds()
	store, err := banger.OpenStore(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	image, err := store.PullToFile(context.Background(), os.Args[3], os.Args[4], banger.WithProgress(func(banger.Event) {}))
	if err != nil {
		log.Fatal(err)
	}
	image.Close()
	store.Close()
	fmt.Printf("%f\n", cpuSeconds()-before)
}
