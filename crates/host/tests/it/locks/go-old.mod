module example.com/ours

go 1.16

require github.com/gin-gonic/gin v1.7.0
