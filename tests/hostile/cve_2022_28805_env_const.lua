-- An _ENV that is a compile-time constant, for which Lua 5.4.0 to 5.4.4 generated wrong code.
-- load: policy
local _ENV <const> = 11
X = 1
return function() return X end
