package simd

//go:generate go run ./internal/gen -set tile -pkg simd -out tile_amd64.s -stubs tile_stubs_amd64.go
//go:generate go run ./internal/gen -set tile512 -pkg simd -out tile512_amd64.s -stubs tile512_stubs_amd64.go
//go:generate go run ./internal/gen -set pack -pkg simd -out pack_amd64.s -stubs pack_stubs_amd64.go
//go:generate go run ./internal/gen -set pool -pkg simd -out pool_amd64.s -stubs pool_stubs_amd64.go
//go:generate go run ./internal/gen -set vector -pkg simd -out vector_amd64.s -stubs vector_stubs_amd64.go
//go:generate go run ./internal/gen -set exp -pkg simd -out exp_amd64.s -stubs exp_stubs_amd64.go
//go:generate go run ./internal/gen -set column -pkg simd -out column_amd64.s -stubs column_stubs_amd64.go
//go:generate go run ./internal/gen -set gelu -pkg simd -out gelu_amd64.s -stubs gelu_stubs_amd64.go
//go:generate go run ./internal/gen -set update -pkg simd -out update_amd64.s -stubs update_stubs_amd64.go
//go:generate go run ./internal/gen -set squares -pkg simd -out squares_amd64.s -stubs squares_stubs_amd64.go
//go:generate go run ./internal/gen -set fixed -pkg simd -out fixed_amd64.s -stubs fixed_stubs_amd64.go
//go:generate go run ./internal/gen -set fixed16 -pkg simd -out fixed16_amd64.s -stubs fixed16_stubs_amd64.go
//go:generate go run ./internal/gen -set columns -pkg simd -out columns_amd64.s -stubs columns_stubs_amd64.go
//go:generate go run ./internal/gen -set panel -pkg simd -out panel_amd64.s -stubs panel_stubs_amd64.go
//go:generate go run ./internal/gen -set panel512 -pkg simd -out panel512_amd64.s -stubs panel512_stubs_amd64.go
//go:generate go run ./internal/gen -set layernorm -pkg simd -out layernorm_amd64.s -stubs layernorm_stubs_amd64.go
//go:generate go run ./internal/gen -set image -pkg simd -out image_amd64.s -stubs image_stubs_amd64.go
