-- The position of an iterator that outlives the call.
-- load: policy
local it, s, c = pairs { a = 1, b = 2, c = 3 }
return function() local k = it(s, c) return k end
