-- An identifier of a hundred thousand letters.
-- load: limit|ok|policy
-- call: ok
local
--@ begin
--@ repeat 1 return function() local _ = 
--@ join 20000 name_
--@ repeat 1  end
