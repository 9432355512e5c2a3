-- Concatenations of as many parts as are allowed.
-- load: ok
-- call: limit|memory|steps
local s = ("x"):rep(65000)
return function() while true do pcall(function() return s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s end) end end
