module github.com/banger-project/banger/examples/go

go 1.25

require github.com/banger-project/banger/go/banger v0.0.0

// The package of this repository.
replace github.com/banger-project/banger/go/banger => ../../go/banger
