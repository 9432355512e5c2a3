-- An __index chain that bites its tail.
-- load: ok
-- call: steps|time
return function()
  local t = {} t.__index = t setmetatable(t, t)
  while true do pcall(function() return t.a end) end
end
