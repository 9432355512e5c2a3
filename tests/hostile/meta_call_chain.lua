-- __call of __call of __call.
-- load: ok
-- call: steps|policy|time
return function()
  local f = print
  for _ = 1, 180 do f = setmetatable({}, { __call = f }) end
  while true do pcall(f) end
end
