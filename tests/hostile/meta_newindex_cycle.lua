-- A __newindex chain that bites its tail.
-- load: ok
-- call: steps|time
return function()
  local a, b = {}, {}
  setmetatable(a, { __newindex = b }) setmetatable(b, { __newindex = a })
  while true do pcall(function() a.x = 1 end) end
end
