module moonfence.example/agent

go 1.19
