module github.com/banger-project/banger/go/banger

go 1.25
